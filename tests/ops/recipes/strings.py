"""Text."""
import numpy as np

from ops.recipe import recipe
from ops.values import F

TEXT = F(np.array(["ab", "", "c d", "Äß"], object))
recipe("StringConcat", [TEXT, F(np.array(["x"], object))], expect=lambda i, a, t: [i[0] + "x"])
recipe("StringSplit", [F(np.array(["a b", " c", ""], object))], outputs=2,
       expect=lambda i, a, t: [np.array([["a", "b"], ["c", ""], ["", ""]], object), np.array([2, 1, 0])])
recipe("StringSplit", [F(np.array(["a,b,c"], object))], outputs=2, sweep=False, delimiter=",", maxsplit=1,
       expect=lambda i, a, t: [np.array([["a", "b,c"]], object), np.array([2])])
recipe("StringNormalizer", [F(np.array(["Monday", "tuesday"], object))], case_change_action="UPPER", stopwords=["tuesday"], is_case_sensitive=1,
       expect=lambda i, a, t: [np.array(["MONDAY"], object)])
recipe("RegexFullMatch", [TEXT], pattern="[a-c ]+d?", expect=lambda i, a, t: [np.array([True, False, True, False])])
recipe("TfIdfVectorizer", [F(np.array([2, 1, 3, 1], np.int64))], only=lambda t: t.element("T") == "int64", mode="TF", min_gram_length=1, max_gram_length=1, max_skip_count=0,
       ngram_counts=[0], ngram_indexes=[0, 1], pool_int64s=[1, 2], expect=lambda i, a, t: [np.array([2.0, 1.0])])
recipe("TfIdfVectorizer", [F(np.array([2, 1, 3, 1], np.int32))], only=lambda t: t.element("T") == "int32", mode="TF", min_gram_length=1, max_gram_length=1, max_skip_count=0,
       ngram_counts=[0], ngram_indexes=[0, 1], pool_int64s=[1, 2], expect=lambda i, a, t: [np.array([2.0, 1.0])])
recipe("TfIdfVectorizer", [F(np.array(["b", "a", "c", "a"], object))], only=lambda t: t.element("T") == "string", mode="TF", min_gram_length=1, max_gram_length=1, max_skip_count=0,
       ngram_counts=[0], ngram_indexes=[0, 1], pool_strings=["a", "b"], expect=lambda i, a, t: [np.array([2.0, 1.0])])

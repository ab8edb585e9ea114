"""Cases of single operators, declared once and run on every provider; see recipe.py."""

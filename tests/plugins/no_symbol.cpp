// A library that is no provider.
extern "C" __attribute__((visibility("default"))) int tenon_test_nothing() { return 0; }

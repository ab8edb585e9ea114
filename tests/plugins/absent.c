int tenon_test_absent(void) { return 1; }

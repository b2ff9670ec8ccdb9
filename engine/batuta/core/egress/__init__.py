"""Which connections a worker may make, decided from values: names, addresses, TLS, rules."""

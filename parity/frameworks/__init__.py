"""One adapter a framework, with the same functions; the rest of `parity` touches neither."""

//! Floor 1: the standards as types and rules. Pure and total: no clock, no I/O, no randomness, no panic.

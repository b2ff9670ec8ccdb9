"""Tests of batuta. `make test` runs them all."""

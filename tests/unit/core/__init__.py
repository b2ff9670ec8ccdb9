"""Tests of the core room: values in, values out."""

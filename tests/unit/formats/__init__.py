"""The formats, one test module each."""

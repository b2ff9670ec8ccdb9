"""The rules of the house, as tests. CONTRIBUTING.md says them in words."""

"""Manifests and sources that are wrong, damaged or hostile: each is answered with a code."""

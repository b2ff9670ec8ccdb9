"""Artifact to artifact: one folder per pair."""

"""Signatures, labels, decisions, merges and audits, through the program."""

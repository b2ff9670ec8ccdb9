"""Decisions from values: diff, plan, cost, tiers, egress rules, labels. Pure."""

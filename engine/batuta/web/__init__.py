"""The dashboard. No decisions."""

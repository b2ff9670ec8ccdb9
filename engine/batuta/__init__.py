"""batuta: plan and apply for data sovereignty."""

__version__ = "0.1.0"

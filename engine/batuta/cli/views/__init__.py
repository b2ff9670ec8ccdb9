"""Views: values in, lines out. A view decides nothing, asks nothing and opens nothing."""

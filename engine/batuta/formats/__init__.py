"""What bytes mean: one folder per format, streams in and streams out."""

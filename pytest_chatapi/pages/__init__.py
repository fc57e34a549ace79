"""HTML reports as one file that fetches nothing."""

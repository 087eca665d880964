"""Results and metrics of finished runs as tables, pictures and one Markdown page."""

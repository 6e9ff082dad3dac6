"""A finished report: asked, drawn, written. Does not know how it was judged."""

"""The data path: listeners, pipeline, upstreams."""

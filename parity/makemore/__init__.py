"""The notebook's own network: its data, exercises, training and published figures."""

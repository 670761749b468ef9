"""From a photograph and its landmarks to a fitted head and a partial UV texture."""

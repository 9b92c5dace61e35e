"""Floor 1: numerical tools shared by the whole package."""

"""Recipes: how one operation becomes phases that the old and the new application both survive."""

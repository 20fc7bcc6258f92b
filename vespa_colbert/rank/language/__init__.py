"""The language of rank expressions: text → tree, and trees printed again."""

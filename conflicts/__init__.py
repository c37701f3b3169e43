"""Conflicts: here what a pass knows of them (`reports`, `models`, `lifecycle`, `store`), in pages/ what people see."""

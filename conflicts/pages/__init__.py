"""What people and programs see of conflicts, and how they resolve them; stands above all of sync/.

- `case`: a conflict or a rejected value as it is shown, and what became of a choice
- `resolution`: stores a person's choice, and takes it back
- `rejections`: values that Monday rejects, which are answered like conflicts
- `admin`, `case_screen`, `api`: the list and its acts, the screen, the HTTP API
"""

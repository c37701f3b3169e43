"""Files that people upload: read into a bounded table by a child process without Django and without secrets.

`check_file` refuses what obviously is no such file, `read_table` reads. What is wrong with a file is a code
(ImportFileError); its sentence is in npd/imports/messages.py.
"""

from npd.imports.files.reader import FileRow, FileTable, ImportFileError, ReaderDied, ReadLimits, check_file, read_table

__all__ = ["FileRow", "FileTable", "ImportFileError", "ReadLimits", "ReaderDied", "check_file", "read_table"]

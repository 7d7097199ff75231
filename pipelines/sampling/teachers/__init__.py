"""Where a teacher's samples come from, beside an engine that is asked at once.

missing.py     what a run would ask of its teacher now
files.py       the same as files for a batch API
"""

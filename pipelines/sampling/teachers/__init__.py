"""Where a teacher's samples come from, beside an engine that is asked at once.

shares.py      which of several teachers gives a sample
joining.py     their samples, selected together
missing.py     what a run would ask of its teacher now
files.py       the same as files for a batch API
"""

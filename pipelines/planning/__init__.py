"""What a run will ask, cost and need, told before it asks anything: `raydistill plan`.

recipe --walk.py: nobody answers--> passes --estimate.py: what is stored, measured--> plan.json, forecast.py
"""

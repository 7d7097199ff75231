"""From a question to a student: the rooms in the order in which data passes through them.

    run.yaml ── config/, run_config.py ─────────────────────────────────────────────────────────────┐
                                                                                                    ▼
    JSONL, hub, generators                                                             run.py walks the stages:
        │ tasks/  (families/ load and grade, answers.py compares)                      synthesize, train, evaluate
        ▼
    Question ── prompts/ ──▶ sampling/  one way to ask a model for many samples, stored and resumable
        │                      plan.py    which prompts, how many samples of each, with which seeds
        │                      job.py     streams questions through the stages, round after round
        │                      stages.py  Generate ──▶ Verify ──▶ Select
        │                                    │           │           │
        │         completions/*.parquet ◀────┘           │           └────▶ examples/*.parquet
        │         engines (vLLM)              verdicts/*.parquet                  │
        │                                     executors (sandbox)                 │
        ▼                                                                         ▼
    recipes/<name>/  a paper's method: recipe.py has its synthesize and train     training/  tokens.py, batches.py,
        recipe.py    and how its student answers; both work with context.py      losses/, loop.py; Ray Train
        config.py    its settings, with the paper's defaults                      │
                                                                                  ▼
    report.py ◀── evaluation/  scores of base, student, teacher ◀── inference/   student/  (Hugging Face or PEFT)
                  (the same sampling as synthesis)            answering.py, beam.py   │
                                                                                      ▼
                                                                                  serve/  HTTP, /v1/solve

Beside the way: context.py is what a run hands to its recipe; models.py its teacher, base and student;
scoring/ what a model says of given token ids; runtime/ the pools on Ray, the run's folder, progress; data/ the
records, and what must not become an example; datastore/ an index of rows of other data sets; spending/ what asking
costs, and its budget; planning/ what a run will ask, told before it does; doctor/ what would go wrong, found before it
does; views/ pages and samples for people, exports/ data and models for other tools, both read from run folders; cli/
the commands.

Every stored step lies in a folder named by a hash of what it depends on, so that the same command goes on where it
stopped; `runtime/run_dir.py` has the table.

Looking for: a sample's verdict: sampling/verdicts.py, of a program: actors/sandbox/host/verdict.py, of an answer:
tasks/judging.py, tasks/answers/. The loss: training/losses/. A prompt: prompts/, recipes/<name>/. What a command
does: cli/app.py, then run.py, then the recipe. What is served: serve/solver.py.
"""

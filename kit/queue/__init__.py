"""The durable queue: work that outlives the process which asked for it.

A job is enqueued in the caller's transaction, so it exists if and only if the change it follows from does. It runs at
least once: whoever works on it holds a lease, and a worker that lost its lease can neither finish nor fail the job any
more. Jobs of one key run one after another, in the order in which they were enqueued.

    enqueue ──▶ ready ──claim──▶ running ──▶ done
                  ▲  ▲              │ │
      waiting ────┘  └──── retry ───┘ └─────▶ dead ──requeue──▶ ready
"""

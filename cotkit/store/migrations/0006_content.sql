-- What a run's id is a hash of, so that runs that differ can be told apart by what differs.
ALTER TABLE run ADD COLUMN content TEXT NOT NULL DEFAULT '{}';   -- Plan.content as JSON

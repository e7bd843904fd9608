-- Which version of the scorer the readings, outcome and metrics of an attempt are of. Rows that are
-- there already are of cotkit 0.1, whose scorer was of version 2.
ALTER TABLE attempt ADD COLUMN scorer_version TEXT NOT NULL DEFAULT '2';

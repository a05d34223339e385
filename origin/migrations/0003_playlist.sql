-- What an origin that is started anew needs to go on with the running playlist, beside
-- the size that its ladder was made for: the size that it began with, since a ladder
-- that has grown has the rungs of both, and what its presenter had asked for, since
-- that may have been changed meanwhile.

ALTER TABLE streams ADD COLUMN canvas_first_width INTEGER;
ALTER TABLE streams ADD COLUMN canvas_first_height INTEGER;
ALTER TABLE streams ADD COLUMN canvas_quality_set TEXT;

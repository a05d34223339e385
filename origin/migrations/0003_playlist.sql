-- The size that the playlist's ladder began with: a ladder that has grown has the
-- rungs of both.

ALTER TABLE streams ADD COLUMN canvas_first_width INTEGER;
ALTER TABLE streams ADD COLUMN canvas_first_height INTEGER;

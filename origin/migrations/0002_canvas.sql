-- The size that the running playlist's ladder was made for. An origin that is
-- started anew continues with it while viewers may still be there; otherwise it
-- means nothing.

ALTER TABLE streams ADD COLUMN canvas_width INTEGER;
ALTER TABLE streams ADD COLUMN canvas_height INTEGER;

-- Whether a presenter's own coded picture may be the top rung.

ALTER TABLE streams ADD COLUMN pass_through INTEGER NOT NULL DEFAULT 0
    CHECK (pass_through IN (0, 1));

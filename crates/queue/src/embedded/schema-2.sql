-- How often what deferred mail is held under was released: a hold of an earlier count binds no more.
CREATE TABLE released (
    count INTEGER NOT NULL
) STRICT;
INSERT INTO released VALUES (0);

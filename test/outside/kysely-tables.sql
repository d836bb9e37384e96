-- Tables that Kysely's tests make by its builder, so that no CREATE TABLE of theirs says them.
CREATE TABLE person (
  id serial PRIMARY KEY,
  first_name varchar(255),
  middle_name varchar(255),
  last_name varchar(255),
  gender varchar(50) NOT NULL,
  marital_status varchar(50),
  children integer NOT NULL DEFAULT 0
);
CREATE TABLE pet (
  id serial PRIMARY KEY,
  name varchar(255) UNIQUE NOT NULL,
  owner_id integer NOT NULL,
  species varchar(50) NOT NULL
);
CREATE TABLE toy (
  id serial PRIMARY KEY,
  name varchar(255) NOT NULL,
  pet_id integer NOT NULL,
  price double precision NOT NULL
);
CREATE TABLE person_metadata (
  person_id integer PRIMARY KEY,
  website jsonb NOT NULL,
  nicknames jsonb NOT NULL,
  profile jsonb NOT NULL,
  experience jsonb NOT NULL,
  schedule jsonb NOT NULL
);

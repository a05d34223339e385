//! Reading one TOML file into a typed configuration.

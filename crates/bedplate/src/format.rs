//! `--format`: tables for people, JSON and templates for programs.

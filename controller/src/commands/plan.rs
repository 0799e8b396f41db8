//! `yagura plan show|rehearse`: what the shutdown plan is, and whether it would work.

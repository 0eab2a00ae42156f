#![no_std]
//! Shared layout.

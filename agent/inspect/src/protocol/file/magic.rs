//! Kinds of files, described as `file(1)` does where rules look for it.

/// What begins at an offset, and how it is described. The first that fits counts.
const SIGNATURES: &[(usize, &[u8], &str)] = &[
    (0, b"\x7fELF\x02\x01", "ELF 64-bit LSB"),
    (0, b"\x7fELF\x02\x02", "ELF 64-bit MSB"),
    (0, b"\x7fELF\x01\x01", "ELF 32-bit LSB"),
    (0, b"\x7fELF\x01\x02", "ELF 32-bit MSB"),
    (0, b"\xcf\xfa\xed\xfe", "Mach-O 64-bit executable"),
    (0, b"\xce\xfa\xed\xfe", "Mach-O executable"),
    (0, b"\0asm", "WebAssembly (wasm) binary module"),
    (0, b"%PDF-", "PDF document"),
    (
        0,
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "Composite Document File V2 Document",
    ),
    (0, b"{\\rtf", "Rich Text Format data"),
    (
        30,
        b"mimetypeapplication/vnd.oasis.opendocument.",
        "OpenDocument",
    ),
    (30, b"mimetypeapplication/epub+zip", "EPUB document"),
    (30, b"word/", "Microsoft Word 2007+"),
    (30, b"xl/", "Microsoft Excel 2007+"),
    (30, b"ppt/", "Microsoft PowerPoint 2007+"),
    (30, b"[Content_Types].xml", "Microsoft OOXML"),
    (30, b"META-INF/", "Java archive data (JAR)"),
    (0, b"PK\x03\x04", "Zip archive data"),
    (0, b"PK\x05\x06", "Zip archive data (empty)"),
    (0, b"Rar!\x1a\x07\x01\0", "RAR archive data, v5"),
    (0, b"Rar!\x1a\x07\0", "RAR archive data, v4"),
    (0, b"7z\xbc\xaf\x27\x1c", "7-zip archive data"),
    (0, b"\x1f\x8b", "gzip compressed data"),
    (0, b"BZh", "bzip2 compressed data"),
    (0, b"\xfd7zXZ\0", "XZ compressed data"),
    (0, b"\x28\xb5\x2f\xfd", "Zstandard compressed data"),
    (0, b"\x04\x22\x4d\x18", "LZ4 compressed data"),
    (0, b"MSCF\0\0\0\0", "Microsoft Cabinet archive data"),
    (257, b"ustar", "POSIX tar archive"),
    (0, b"!<arch>\ndebian", "Debian binary package"),
    (0, b"!<arch>\n", "current ar archive"),
    (0, b"\xed\xab\xee\xdb", "RPM v3.0 bin"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG image data"),
    (0, b"\xff\xd8\xff", "JPEG image data"),
    (0, b"GIF87a", "GIF image data, version 87a"),
    (0, b"GIF89a", "GIF image data, version 89a"),
    (8, b"WEBP", "RIFF (little-endian) data, Web/P image"),
    (8, b"AVI ", "RIFF (little-endian) data, AVI"),
    (8, b"WAVE", "RIFF (little-endian) data, WAVE audio"),
    (0, b"II*\0", "TIFF image data, little-endian"),
    (0, b"MM\0*", "TIFF image data, big-endian"),
    (0, b"\0\0\x01\0", "MS Windows icon resource"),
    (4, b"ftyp", "ISO Media"),
    (0, b"OggS", "Ogg data"),
    (0, b"ID3", "Audio file with ID3"),
    (0, b"FWS", "Macromedia Flash data"),
    (0, b"CWS", "Macromedia Flash data (compressed)"),
    (0, b"ZWS", "Macromedia Flash data (lzma compressed)"),
    (0, b"\xca\xfe\xba\xbe\0\0\0", "compiled Java class data"),
    (0, b"\x4c\0\0\0\x01\x14\x02\0", "MS Windows shortcut"),
    (0, b"ITSF\x03\0\0\0", "MS Windows HtmlHelp Data"),
    (0, b"SQLite format 3\0", "SQLite 3.x database"),
    (0, b"-----BEGIN CERTIFICATE", "PEM certificate"),
    (0, b"-----BEGIN RSA PRIVATE KEY", "PEM RSA private key"),
    (0, b"-----BEGIN OPENSSH PRIVATE KEY", "OpenSSH private key"),
    (0, b"\xd4\xc3\xb2\xa1", "pcap capture file"),
    (0, b"\x0a\x0d\x0d\x0a", "pcapng capture file"),
    (0, b"#!/bin/sh", "POSIX shell script, ASCII text executable"),
    (
        0,
        b"#!/bin/bash",
        "Bourne-Again shell script, ASCII text executable",
    ),
    (
        0,
        b"#!/usr/bin/env python",
        "Python script, ASCII text executable",
    ),
    (
        0,
        b"#!/usr/bin/python",
        "Python script, ASCII text executable",
    ),
    (0, b"#!/usr/bin/perl", "Perl script text executable"),
    (0, b"#!", "a script, ASCII text executable"),
    (0, b"<?php", "PHP script, ASCII text"),
    (0, b"<?xml", "XML 1.0 document text"),
];

/// Beginnings of HTML, in lower case, after blanks.
const HTML: &[&[u8]] = &[
    b"<!doctype html",
    b"<html",
    b"<head",
    b"<title",
    b"<body",
    b"<script",
    b"<!--",
];

/// Describes a file by its first bytes.
#[must_use]
pub fn magic(front: &[u8]) -> &'static str {
    if front.is_empty() {
        return "empty";
    }
    if front.starts_with(b"MZ") {
        return portable_executable(front);
    }
    let known = SIGNATURES.iter().find(|(at, bytes, _)| {
        // What a zip archive begins with says what it is.
        (*at != 30 || front.starts_with(b"PK\x03\x04"))
            && (*at != 8 || front.starts_with(b"RIFF"))
            && front.get(*at..).is_some_and(|rest| rest.starts_with(bytes))
    });
    known.map_or_else(|| text(front), |(_, _, description)| description)
}

fn portable_executable(front: &[u8]) -> &'static str {
    let at = front.get(60..64).and_then(|bytes| bytes.try_into().ok());
    let at = usize::try_from(at.map_or(u32::MAX, u32::from_le_bytes)).unwrap_or(usize::MAX);
    let Some(header) = front
        .get(at..)
        .and_then(|rest| rest.strip_prefix(b"PE\0\0"))
    else {
        return "MS-DOS executable";
    };
    let word = |at: usize| match header.get(at..at + 2) {
        Some([low, high]) => u16::from_le_bytes([*low, *high]),
        _ => 0,
    };
    let library = word(18) & 0x2000 != 0;
    let graphical = word(20 + 68) == 2;
    match (word(20) == 0x20b, library, graphical) {
        (false, true, _) => "PE32 executable (DLL) for MS Windows",
        (false, false, true) => "PE32 executable (GUI) for MS Windows",
        (false, false, false) => "PE32 executable (console) for MS Windows",
        (true, true, _) => "PE32+ executable (DLL) for MS Windows",
        (true, false, true) => "PE32+ executable (GUI) for MS Windows",
        (true, false, false) => "PE32+ executable (console) for MS Windows",
    }
}

fn text(front: &[u8]) -> &'static str {
    let start = front.trim_ascii_start();
    let html = HTML.iter().any(|tag| {
        let written = start.get(..tag.len());
        written.is_some_and(|written| written.eq_ignore_ascii_case(tag))
    });
    let control = |byte: &u8| *byte < 7 || (14..27).contains(byte) || (28..32).contains(byte);
    if front.starts_with(b"\xff\xfe") {
        return "Unicode text, UTF-16, little-endian text";
    }
    if front.starts_with(b"\xfe\xff") {
        return "Unicode text, UTF-16, big-endian text";
    }
    if front.iter().any(control) {
        return "data";
    }
    // The window may end within a character.
    let unicode = match core::str::from_utf8(front) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    match (html, front.is_ascii(), unicode) {
        (true, true, _) => "HTML document, ASCII text",
        (true, false, true) => "HTML document, Unicode text, UTF-8 text",
        (true, false, false) => "HTML document, ISO-8859 text",
        (false, true, _) if front.windows(2).any(|pair| pair == b"\r\n") => {
            "ASCII text, with CRLF line terminators"
        }
        (false, true, _) => "ASCII text",
        (false, false, true) => "Unicode text, UTF-8 text",
        (false, false, false) => "ISO-8859 text",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn common_kinds_are_told() {
        let mut executable = [0; 256];
        executable[..2].copy_from_slice(b"MZ");
        assert_eq!(magic(&executable), "MS-DOS executable");
        executable[60] = 128;
        executable[128..132].copy_from_slice(b"PE\0\0");
        executable[152..154].copy_from_slice(&0x20b_u16.to_le_bytes());
        executable[220] = 2;
        assert_eq!(magic(&executable), "PE32+ executable (GUI) for MS Windows");
        assert_eq!(magic(b"%PDF-1.7"), "PDF document");
        assert_eq!(magic(b"PK\x03\x04aaaa"), "Zip archive data");
        assert_eq!(magic(b" <HTML>"), "HTML document, ASCII text");
        assert_eq!(magic(b"hello\n"), "ASCII text");
        assert_eq!(magic("häl".as_bytes()), "Unicode text, UTF-8 text");
        assert_eq!(magic(b"\x01\x02"), "data");
        assert_eq!(magic(b""), "empty");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = magic(&data);
            let _ = magic(&[b"MZ", data.as_slice()].concat());
        }
    }
}

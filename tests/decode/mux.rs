//! Small containers, written byte by byte: what browsers and phones make of AAC and Opus.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::material::c_program;

const AAC_ENCODER: &str = r#"
#include <stdio.h>
#include <string.h>
#include <vo-aacenc/voAAC.h>
#include <vo-aacenc/cmnMemory.h>
int main(void) {
    VO_AUDIO_CODECAPI api; VO_HANDLE encoder; VO_MEM_OPERATOR memory; VO_CODEC_INIT_USERDATA user;
    AACENC_PARAM parameters = {0};
    memory.Alloc = cmnMemAlloc; memory.Copy = cmnMemCopy; memory.Free = cmnMemFree;
    memory.Set = cmnMemSet; memory.Check = cmnMemCheck;
    user.memflag = VO_IMF_USERMEMOPERATOR; user.memData = &memory;
    if (voGetAACEncAPI(&api) || api.Init(&encoder, VO_AUDIO_CodingAAC, &user)) return 1;
    parameters.bitRate = 48000; parameters.sampleRate = 16000; parameters.nChannels = 1; parameters.adtsUsed = 1;
    if (api.SetParam(encoder, VO_PID_AAC_ENCPARAM, &parameters)) return 2;
    unsigned char pcm[2048], frame[20480];
    while (fread(pcm, 1, sizeof pcm, stdin) == sizeof pcm) {
        VO_CODECBUFFER in = {0}, out = {0}; VO_AUDIO_OUTPUTINFO info = {0};
        in.Buffer = pcm; in.Length = sizeof pcm;
        api.SetInputData(encoder, &in);
        out.Buffer = frame; out.Length = sizeof frame;
        if (api.GetOutputData(encoder, &out, &info) == VO_ERR_NONE) fwrite(out.Buffer, 1, out.Length, stdout);
    }
    return 0;
}
"#;

/// AAC in ADTS frames of mono 16 kHz, by an encoder that phones have carried for years.
pub fn adts_of(folder: &Path, samples: &[i16]) -> Vec<u8> {
    let program = c_program(AAC_ENCODER, &["-lvo-aacenc"], folder);
    let mut encoder = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the encoder");
    let mut pcm: Vec<u8> = samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    pcm.resize(pcm.len().next_multiple_of(2_048) + 4_096, 0);
    let mut input = encoder.stdin.take().expect("its input");
    let writer = std::thread::spawn(move || input.write_all(&pcm));
    let output = encoder.wait_with_output().expect("its output");
    writer.join().expect("the writer").expect("all was taken");
    assert!(output.status.success() && output.stdout.len() > 1_000);
    output.stdout
}

/// The frames of an ADTS stream without their heads.
fn adts_frames(adts: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    let mut rest = adts;
    while rest.len() > 7 {
        let length =
            usize::from(rest[3] & 3) << 11 | usize::from(rest[4]) << 3 | usize::from(rest[5]) >> 5;
        let head = if rest[1] & 1 == 1 { 7 } else { 9 };
        frames.push(&rest[head..length]);
        rest = &rest[length..];
    }
    frames
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    TableFirst,
    TableLast,
    Fragmented,
}

/// AAC as `m4a`: mono 16 kHz.
pub fn mp4(adts: &[u8], layout: Layout) -> Vec<u8> {
    let frames = adts_frames(adts);
    let ftyp = atom(b"ftyp", &[b"M4A \0\0\0\0M4A isommp42"]);
    if layout == Layout::Fragmented {
        let mut out = ftyp;
        out.extend(moov(&[], 0, true));
        for (number, part) in frames.chunks(8).enumerate() {
            out.extend(fragment(number as u32, part));
        }
        return out;
    }
    let data: Vec<u8> = frames.concat();
    let mdat = atom(b"mdat", &[&data]);
    let table_bytes = moov(&frames, 0, false).len();
    let offset = match layout {
        Layout::TableFirst => ftyp.len() + table_bytes + 8,
        _ => ftyp.len() + 8,
    };
    let table = moov(&frames, offset as u32, false);
    match layout {
        Layout::TableFirst => [ftyp, table, mdat].concat(),
        _ => [ftyp, mdat, table].concat(),
    }
}

pub fn atom(name: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = 8 + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut out = (length as u32).to_be_bytes().to_vec();
    out.extend_from_slice(name);
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

fn words(values: &[u32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect()
}

fn moov(frames: &[&[u8]], offset: u32, fragmented: bool) -> Vec<u8> {
    let count = frames.len() as u32;
    let length = count * 1_024;
    let matrix = words(&[0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000]);
    let mvhd = atom(
        b"mvhd",
        &[
            &words(&[0, 0, 0, 16_000, length, 0x1_0000, 0x0100_0000, 0, 0]),
            &matrix,
            &[0; 24],
            &words(&[2]),
        ],
    );
    let tkhd = atom(
        b"tkhd",
        &[
            &words(&[3, 0, 0, 1, 0, length, 0, 0, 0, 0x0100_0000]),
            &matrix,
            &words(&[0, 0]),
        ],
    );
    let mdhd = atom(b"mdhd", &[&words(&[0, 0, 0, 16_000, length, 0x55C4_0000])]);
    let hdlr = atom(b"hdlr", &[&words(&[0, 0]), b"soun", &[0; 12], b"sound\0"]);
    let dref = atom(b"dref", &[&words(&[0, 1]), &atom(b"url ", &[&words(&[1])])]);
    let dinf = atom(b"dinf", &[&dref]);
    let smhd = atom(b"smhd", &[&[0; 8]]);
    // AAC-LC, 16 kHz, one channel.
    let config = [0x14, 0x08];
    let decoder = descriptor(
        4,
        &[
            &[0x40, 0x15, 0, 0, 0],
            &words(&[48_000, 48_000]),
            &descriptor(5, &[&config]),
        ],
    );
    let esds = atom(
        b"esds",
        &[
            &words(&[0]),
            &descriptor(3, &[&[0, 0, 0], &decoder, &descriptor(6, &[&[2]])]),
        ],
    );
    let mp4a = atom(
        b"mp4a",
        &[
            &[0, 0, 0, 0, 0, 0, 0, 1],
            &[0; 8],
            &[0, 1, 0, 16, 0, 0, 0, 0],
            &words(&[16_000 << 16]),
            &esds,
        ],
    );
    let stsd = atom(b"stsd", &[&words(&[0, 1]), &mp4a]);
    let sizes: Vec<u32> = frames.iter().map(|frame| frame.len() as u32).collect();
    let (stts, stsc, stsz, stco) = if fragmented {
        (
            words(&[0, 0]),
            words(&[0, 0]),
            words(&[0, 0, 0]),
            words(&[0, 0]),
        )
    } else {
        (
            words(&[0, 1, count, 1_024]),
            words(&[0, 1, 1, count, 1]),
            [words(&[0, 0, count]), words(&sizes)].concat(),
            words(&[0, 1, offset]),
        )
    };
    let stbl = atom(
        b"stbl",
        &[
            &stsd,
            &atom(b"stts", &[&stts]),
            &atom(b"stsc", &[&stsc]),
            &atom(b"stsz", &[&stsz]),
            &atom(b"stco", &[&stco]),
        ],
    );
    let minf = atom(b"minf", &[&smhd, &dinf, &stbl]);
    let mdia = atom(b"mdia", &[&mdhd, &hdlr, &minf]);
    let trak = atom(b"trak", &[&tkhd, &mdia]);
    let mvex = atom(
        b"mvex",
        &[&atom(b"trex", &[&words(&[0, 1, 1, 1_024, 0, 0])])],
    );
    if fragmented {
        atom(b"moov", &[&mvhd, &trak, &mvex])
    } else {
        atom(b"moov", &[&mvhd, &trak])
    }
}

fn descriptor(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&[tag, body.len() as u8], &body[..]].concat()
}

fn fragment(number: u32, frames: &[&[u8]]) -> Vec<u8> {
    let sizes: Vec<u32> = frames.iter().map(|frame| frame.len() as u32).collect();
    let build = |offset: u32| {
        let mfhd = atom(b"mfhd", &[&words(&[0, number + 1])]);
        // The base is the fragment itself.
        let tfhd = atom(b"tfhd", &[&words(&[0x02_0000, 1])]);
        let tfdt = atom(b"tfdt", &[&words(&[0, number * 8 * 1_024])]);
        let trun = atom(
            b"trun",
            &[
                &words(&[0x201, frames.len() as u32, offset]),
                &words(&sizes),
            ],
        );
        atom(b"moof", &[&mfhd, &atom(b"traf", &[&tfhd, &tfdt, &trun])])
    };
    let offset = build(0).len() as u32 + 8;
    [build(offset), atom(b"mdat", &[&frames.concat()])].concat()
}

/// The packets of an Ogg stream, headers first.
pub fn ogg_packets(ogg: &[u8]) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    let mut open = Vec::new();
    let mut rest = ogg;
    while rest.starts_with(b"OggS") {
        let count = usize::from(rest[26]);
        let (table, mut body) = rest[27..].split_at(count);
        for lace in table {
            let (part, behind) = body.split_at(usize::from(*lace));
            open.extend_from_slice(part);
            body = behind;
            if *lace < 255 {
                packets.push(std::mem::take(&mut open));
            }
        }
        rest = body;
    }
    packets
}

/// Opus packets of 20 ms as a browser's recorder writes them: no length known, no end.
pub fn webm(packets: &[Vec<u8>]) -> Vec<u8> {
    let head = &packets[0];
    let element = |id: &[u8], body: &[u8]| {
        let size = 0x1000_0000 | body.len() as u32;
        [id, &size.to_be_bytes()[..], body].concat()
    };
    const UNKNOWN: [u8; 8] = [0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
    let ebml = [
        element(&[0x42, 0x86], &[1]),
        element(&[0x42, 0xF7], &[1]),
        element(&[0x42, 0xF2], &[4]),
        element(&[0x42, 0xF3], &[8]),
        element(&[0x42, 0x82], b"webm"),
        element(&[0x42, 0x87], &[4]),
        element(&[0x42, 0x85], &[2]),
    ];
    let info = [
        element(&[0x2A, 0xD7, 0xB1], &[0x0F, 0x42, 0x40]),
        element(&[0x4D, 0x80], b"Chrome"),
        element(&[0x57, 0x41], b"Chrome"),
    ];
    let audio = [
        element(&[0xB5], &48_000_f32.to_be_bytes()),
        element(&[0x9F], &[1]),
    ];
    let entry = [
        element(&[0xD7], &[1]),
        element(&[0x73, 0xC5], &[1]),
        element(&[0x83], &[2]),
        element(&[0x86], b"A_OPUS"),
        element(&[0x63, 0xA2], head),
        element(&[0xE1], &audio.concat()),
    ];
    let tracks = element(&[0xAE], &entry.concat());
    let mut out = element(&[0x1A, 0x45, 0xDF, 0xA3], &ebml.concat());
    out.extend([0x18, 0x53, 0x80, 0x67]);
    out.extend(UNKNOWN);
    out.extend(element(&[0x15, 0x49, 0xA9, 0x66], &info.concat()));
    out.extend(element(&[0x16, 0x54, 0xAE, 0x6B], &tracks));
    for (index, part) in packets[2..].chunks(50).enumerate() {
        out.extend([0x1F, 0x43, 0xB6, 0x75]);
        out.extend(UNKNOWN);
        out.extend(element(&[0xE7], &(index as u32 * 1_000).to_be_bytes()));
        for (place, packet) in part.iter().enumerate() {
            let time = (place as i16 * 20).to_be_bytes();
            let block = [&[0x81], &time[..], &[0x80], packet].concat();
            out.extend(element(&[0xA3], &block));
        }
    }
    out
}

use super::*;
use crate::kernel::compression::samples::ALL;
use crate::kernel::samples::{BANNER, RELEASE, bzimage, vmlinux};
use proptest::prelude::*;

#[test]
fn every_compression_unpacks() {
    let kernel = vmlinux(true);
    for kind in ALL {
        let file = bzimage(&kernel, kind);
        let image = BzImage::parse(&file).unwrap();
        assert_eq!(image.banner().unwrap(), BANNER);
        assert_eq!(image.unpack().unwrap().as_deref(), Some(&*kernel), "{kind:?}");
    }
}

#[test]
fn an_unknown_compression_is_left_packed() {
    let mut file = bzimage(&vmlinux(true), Compression::Gzip);
    file[5 * 512 + 0x30..][..2].copy_from_slice(b"BZ");
    assert!(BzImage::parse(&file).unwrap().unpack().unwrap().is_none());
}

#[test]
fn a_cut_image_is_told_from_a_damaged_one() {
    for kind in ALL {
        let file = bzimage(&vmlinux(true), kind);
        let image = BzImage::parse(&file[..file.len() * 4 / 5]).unwrap();
        let error = image.unpack().unwrap_err();
        assert!(matches!(error, ImageError::CutOff { .. }), "{error}");

        let mut file = file;
        // The recorded length: its lowest byte is the payload's fourth from the end.
        let at = file.len() - "what follows the payload".len() - 4;
        file[at] ^= 1;
        let error = BzImage::parse(&file).unwrap().unpack().unwrap_err();
        assert!(matches!(error, ImageError::Length { .. } | ImageError::Damaged { .. }), "{error}");
    }
}

#[test]
fn what_is_no_bzimage() {
    let file = bzimage(&vmlinux(true), Compression::Gzip);
    let parse = |file: &[u8]| BzImage::parse(file).unwrap_err();
    assert!(matches!(parse(b""), ImageError::Unknown));
    assert!(matches!(parse(&vmlinux(true)), ImageError::Unknown));
    assert!(matches!(
        parse(&file[..0x230]),
        ImageError::CutOff { promised: 0x250, present: 0x230 }
    ));
    let mut old = file;
    old[0x206..0x208].copy_from_slice(&[7, 2]);
    assert_eq!(parse(&old).to_string().split(", and").next(), Some("its boot protocol is 2.07"));
}

#[test]
fn what_a_vmlinux_says() {
    for pvh in [true, false] {
        let file = vmlinux(pvh);
        let parsed = Vmlinux::parse(&file).unwrap();
        assert_eq!(parsed.has_pvh_entry().unwrap(), pvh);
        assert_eq!(parsed.build_id().unwrap().as_deref(), Some("abcd"));
        assert_eq!(parsed.banner().unwrap(), BANNER);
    }
    let mut arm = vmlinux(true);
    arm[18] = 183;
    assert!(matches!(Vmlinux::parse(&arm), Err(ImageError::Machine)));
    assert!(matches!(Vmlinux::parse(b"\x7fELF"), Err(ImageError::Elf(_))));
}

#[test]
fn versions_in_banners() {
    let table = [
        (BANNER, RELEASE, "6.1.176"),
        (
            "7.3.4+deb13-amd64 (x) #1 SMP Debian 7.3.4-1~bpo13+1 (2026)",
            "7.3.4+deb13-amd64",
            "7.3.4",
        ),
        ("6.18.44 (me@home) #2 SMP", "6.18.44", "6.18.44"),
        ("6.9.0-rc3+ (me@home) (gcc (Debian 12.2.0-14) 12.2.0) #2 SMP", "6.9.0-rc3+", "6.9.0"),
        ("6.9.0-rc3+ (me@home) (Debian clang) #2 SMP", "6.9.0-rc3+", "6.9.0"),
    ];
    for (text, release, upstream) in table {
        let banner = Banner::parse(text).unwrap();
        assert_eq!((banner.release.as_str(), banner.upstream()), (release, upstream), "{text}");
    }
    assert!(matches!(Banner::parse(" "), Err(ImageError::NoVersion)));
}

proptest! {
    #[test]
    fn no_change_of_a_bzimage_makes_it_panic(
        at in prop::collection::vec((0x1f0..0x260_usize, any::<u8>()), 0..8),
        end in 0..4000_usize,
    ) {
        let mut file = bzimage(&vmlinux(true), Compression::Gzip);
        for (at, byte) in at {
            file[at] = byte;
        }
        file.truncate(end.max(0x200));
        if let Ok(image) = BzImage::parse(&file) {
            let _ = (image.banner(), image.unpack());
        }
    }

    #[test]
    fn no_change_of_an_elf_file_makes_it_panic(
        at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        end in any::<prop::sample::Index>(),
    ) {
        let mut file = vmlinux(true);
        for (at, byte) in at {
            let at = at.index(file.len());
            file[at] = byte;
        }
        file.truncate(end.index(file.len() + 1));
        if let Ok(parsed) = Vmlinux::parse(&file) {
            let _ = (parsed.has_pvh_entry(), parsed.build_id(), parsed.banner());
        }
    }
}

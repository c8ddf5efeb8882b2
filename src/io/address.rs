//! Addresses as the kernel writes them.

#![expect(unsafe_code, reason = "an address's family says which structure it is")]

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ptr;

/// Length of `no_name`, in bytes.
#[expect(clippy::cast_possible_truncation, reason = "128 bytes")]
pub(super) const NAME_LEN: libc::socklen_t = size_of::<libc::sockaddr_storage>() as libc::socklen_t;

/// Room for an address of any family.
pub(super) fn no_name() -> libc::sockaddr_storage {
    // SAFETY: integers only, for which zero is a value.
    unsafe { std::mem::zeroed() }
}

/// Octets that hold an address of either family.
pub(super) const KERNEL_NAME_LEN: usize = size_of::<libc::sockaddr_in6>();

/// The address in octets that the kernel wrote; `None` when its family is not IP.
pub(super) fn from_kernel(octets: &[u8]) -> Option<SocketAddr> {
    let mut name = no_name();
    let room = size_of_val(&name);
    let octets = octets.get(..octets.len().min(room))?;
    // SAFETY: both are that long, neither overlaps the other, and every pattern of octets
    // is a value of the storage.
    unsafe {
        ptr::copy_nonoverlapping(octets.as_ptr(), (&raw mut name).cast(), octets.len());
    }
    socket_addr(&name)
}

/// The address in `name`; `None` when its family is not IP.
pub(super) fn socket_addr(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let name_ptr = ptr::from_ref(name);
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the storage is as large and as aligned as every address,
            // and all bytes of it are initialized.
            let v4 = unsafe { &*name_ptr.cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*name_ptr.cast::<libc::sockaddr_in6>() };
            let (ip, port) = (v6.sin6_addr.s6_addr.into(), u16::from_be(v6.sin6_port));
            Some(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

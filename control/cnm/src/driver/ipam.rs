//! `IpamDriver`.

use paceline_ipam::{
    AddressRequest, IpamError, PoolRequest, Space, release_address, release_pool, request_address,
    request_pool,
};

use super::leftover::forget_leftovers;
use super::{Control, Driver, DriverError};
use crate::wire::ipam::{
    Capabilities, DefaultAddressSpaces, ReleaseAddress, ReleasePool, RequestAddress, RequestPool,
    RequestedAddress, RequestedPool,
};
use crate::wire::options;

impl<C: Control> Driver<C> {
    /// `GetCapabilities`: leases are on disk, so that the engine need not repeat requests when it starts; and they are not
    /// given by MAC address.
    pub fn ipam_capabilities(&self) -> Capabilities {
        Capabilities { requires_mac_address: false, requires_request_replay: false }
    }

    /// `GetDefaultAddressSpaces`.
    pub fn default_address_spaces(&self) -> DefaultAddressSpaces {
        DefaultAddressSpaces {
            local_default_address_space: Space::Local,
            global_default_address_space: Space::Global,
        }
    }

    /// `RequestPool`.
    ///
    /// # Errors
    /// A user's option; an impossible subnet or range; one that overlaps; the disk.
    pub async fn request_pool(&self, request: RequestPool) -> Result<RequestedPool, DriverError> {
        let RequestPool { space, pool, range, options, v6 } = request;
        if let Some(name) = options.keys().find(|name| !options::is_engines(name)) {
            return Err(DriverError::IpamOption { name: name.clone() });
        }
        let settings = self.settings.clone();
        let request = PoolRequest { space, subnet: pool, range, v6 };
        let edit =
            self.control.edit(move |model| Ok(request_pool(&mut model.pools, &settings.plan, &request)?));
        let id = edit.await?;
        Ok(RequestedPool { id, pool: id.subnet, data: options::Options::new() })
    }

    /// `ReleasePool`, with all addresses in it.
    ///
    /// # Errors
    /// The disk.
    pub async fn release_pool(&self, request: ReleasePool) -> Result<(), DriverError> {
        self.control
            .edit(move |model| {
                release_pool(&mut model.pools, request.pool);
                Ok(())
            })
            .await
    }

    /// `RequestAddress`. Before it is refused because all are in use, or the one asked for is, addresses of containers that
    /// are gone are given back: after a crash of the engine they come again with the addresses they had.
    ///
    /// # Errors
    /// No such pool; an impossible address, or one in use; none left; the disk.
    pub async fn request_address(&self, request: RequestAddress) -> Result<RequestedAddress, DriverError> {
        let RequestAddress { pool, address, options } = request;
        let gateway = options.get(options::ADDRESS_TYPE).is_some_and(|kind| kind == options::GATEWAY);
        let request = AddressRequest { address, gateway, mac: options::mac(&options)? };
        let control = self.control.clone();
        let edit = self.control.edit(move |model| {
            let first = request_address(&mut model.pools, pool, &request);
            if matches!(first, Err(IpamError::Taken { .. } | IpamError::Full { .. }))
                && forget_leftovers(model, |path| control.is_sandbox(path)) > 0
            {
                return Ok(request_address(&mut model.pools, pool, &request)?);
            }
            Ok(first?)
        });
        Ok(RequestedAddress { address: edit.await?, data: options::Options::new() })
    }

    /// `ReleaseAddress`.
    ///
    /// # Errors
    /// The disk.
    pub async fn release_address(&self, request: ReleaseAddress) -> Result<(), DriverError> {
        let ReleaseAddress { pool, address } = request;
        let edit = self.control.edit(move |model| {
            if let Some(address) = address {
                release_address(&mut model.pools, pool, address);
            }
            Ok(())
        });
        edit.await
    }
}

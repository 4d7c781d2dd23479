"""Libraries that open files by their URL: geodata, tables, films."""

from __future__ import annotations

import os

from .registry import address, client


def gdal_options(trust: str) -> dict[str, str]:
    return {"default": {}, "off": {"GDAL_HTTP_UNSAFESSL": "YES"}}.get(trust, {"GDAL_CURL_CA_BUNDLE": trust})


@client("pyogrio")
def pyogrio(url: str, trust: str) -> None:
    import pyogrio

    pyogrio.set_gdal_config_options(gdal_options(trust))
    pyogrio.read_info(f"/vsicurl/{url}x.gpkg")


@client("fiona")
def fiona(url: str, trust: str) -> None:
    import fiona

    with fiona.Env(**gdal_options(trust)):
        fiona.open(f"/vsicurl/{url}x.gpkg")


@client("rasterio")
def rasterio(url: str, trust: str) -> None:
    import rasterio

    with rasterio.Env(**gdal_options(trust)):
        rasterio.open(f"/vsicurl/{url}x.tif")


@client("pyproj")
def pyproj(url: str, trust: str) -> None:
    child = os.fork()  # PROJ reads the address once, and pyproj gives a CA file to the thread only that names it
    if not child:
        try:
            os.environ["PROJ_NETWORK_ENDPOINT"] = url
            if trust == "off":
                os.environ["PROJ_UNSAFE_SSL"] = "ON"
            import pyproj.network

            pyproj.network.set_network_enabled(True)
            if trust not in ("default", "off"):
                pyproj.network.set_ca_bundle_path(trust)
            pyproj.Transformer.from_pipeline("+proj=hgridshift +grids=ca_nrc_ntv2_0.tif").transform(0, 0)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    raise ConnectionError("there is no such grid")


@client("netCDF4", always_verifies=True)
def netcdf4(url: str, trust: str) -> None:
    import netCDF4

    if trust != "default":
        netCDF4.rc_set("HTTP.SSL.CAINFO", trust)
    netCDF4.Dataset(f"{url}x.nc#mode=bytes")  # else it speaks DAP, and is killed by what is none


@client("pyarrow", always_verifies=True, adds_a_directory=True)
def pyarrow_s3(url: str, trust: str) -> None:
    from pyarrow import fs

    host, port = address(url)
    fs.S3FileSystem(
        endpoint_override=f"{host}:{port}",
        access_key="a",
        secret_key="s",
        region="us-east-1",
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=1),
        **({} if trust == "default" else {"tls_ca_file_path": trust}),
    ).get_file_info("bucket/key")


@client("av")
def pyav(url: str, trust: str) -> None:
    import av

    options = {"tls_verify": "0" if trust == "off" else "1"}  # the default, since av 19
    if trust not in ("default", "off"):
        options["ca_file"] = trust
    try:
        av.open(f"{url}x.mp4", options=options)
    except av.error.InvalidDataError:  # it is no film, but it was sent
        pass

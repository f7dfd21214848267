#!/usr/bin/env bash
# OpenCV reads a colour PNG as grey by another formula when the file has a gAMA chunk of 1/2.2, which many programs write: a strong red as 147, not 84.
#
# Package: NuGet's OpenCvSharp4 4.13.0.20260627 with its runtime of OpenCV 4.13.0; ImRead and ImDecode with ImreadModes.Grayscale.
# Without that chunk the result is the weighted mean of the stored values (0.299, 0.587, 0.114), as cvtColor and Pillow's convert("L") compute it.
# With it the decoding library adds up amounts of light: values to the power 2.2, their mean, and back. ImreadModes.Color gives the
# same pixels for both files, and a gAMA of 1 changes nothing.
#
# Seen on 2026-11-28, two pixels, (0, 100, 200) and (255, 10, 20):
#   read as grey: 81 84      with gAMA 45455: 105 147      with gAMA 100000: 81 84      read in colour and converted: 81 84, each time
#
# Saturated colours move most. Hashes of images, filters by brightness and grey models treat the same picture differently after it went through a
# program that adds or drops the chunk. Read in colour and convert.
#
# Needs: .NET SDK 10, x86-64 Linux. Exit code 0 while this is so, 1 when it has changed, 2 when the package cannot be had.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
cat >grey.csproj <<'XML'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <ImplicitUsings>enable</ImplicitUsings>
    <InvariantGlobalization>true</InvariantGlobalization>
  </PropertyGroup>
  <ItemGroup>
    <PackageReference Include="OpenCvSharp4" Version="[4.13.0.20260627]" />
    <PackageReference Include="OpenCvSharp4.official.runtime.linux-x64" Version="[4.13.0.20260627]" />
  </ItemGroup>
</Project>
XML
cat >Program.cs <<'CS'
using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;
using OpenCvSharp;

Console.WriteLine("OpenCV " + Cv2.GetVersionString());
bool asDescribed = true;
foreach ((uint? gamma, string seen) in new (uint?, string)[] { (null, "81 84"), (45455, "105 147"), (100000, "81 84") })
{
    byte[] file = Png([0, 100, 200, 255, 10, 20], gamma);
    using Mat grey = Cv2.ImDecode(file, ImreadModes.Grayscale), colour = Cv2.ImDecode(file, ImreadModes.Color), converted = new();
    Cv2.CvtColor(colour, converted, ColorConversionCodes.BGR2GRAY);
    Console.WriteLine($"gAMA {gamma?.ToString() ?? "none"}: read as grey {Values(grey)}, read in colour and converted {Values(converted)}");
    asDescribed &= Values(grey) == seen && Values(converted) == "81 84";
}

Console.WriteLine(asDescribed ? "as described" : "not as described above");
return asDescribed ? 0 : 1;

static string Values(Mat image) => $"{image.At<byte>(0, 0)} {image.At<byte>(0, 1)}";

// One row of RGB pixels of 8 bits.
static byte[] Png(byte[] row, uint? gamma)
{
    byte[] header = new byte[13], number = new byte[4];
    BinaryPrimitives.WriteInt32BigEndian(header, row.Length / 3);
    (header[7], header[8], header[9]) = (1, 8, 2);
    BinaryPrimitives.WriteUInt32BigEndian(number, gamma ?? 0);
    using var packed = new MemoryStream();
    using (var zlib = new ZLibStream(packed, CompressionLevel.Optimal, leaveOpen: true))
        zlib.Write([0, .. row]);
    return [0x89, (byte)'P', (byte)'N', (byte)'G', 13, 10, 26, 10, .. Chunk("IHDR", header), .. gamma is null ? [] : Chunk("gAMA", number), .. Chunk("IDAT", packed.ToArray()), .. Chunk("IEND", [])];
}

static byte[] Chunk(string name, byte[] data)
{
    byte[] named = [.. Encoding.ASCII.GetBytes(name), .. data], length = new byte[4], check = new byte[4];
    uint crc = 0xffffffff;
    foreach (byte value in named)
    {
        crc ^= value;
        for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? 0xedb88320 ^ (crc >> 1) : crc >> 1;
    }

    BinaryPrimitives.WriteInt32BigEndian(length, data.Length);
    BinaryPrimitives.WriteUInt32BigEndian(check, ~crc);
    return [.. length, .. named, .. check];
}
CS
dotnet restore --verbosity quiet >restore.log 2>&1 || { cat restore.log >&2; echo "OpenCvSharp4 4.13.0.20260627 cannot be had here (NuGet)" >&2; exit 2; }
dotnet build --no-restore --configuration Release --verbosity quiet --output program >build.log 2>&1 || { cat build.log >&2; exit 1; }
dotnet program/grey.dll

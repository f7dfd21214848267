using ClipEngine.Tensors;

namespace ClipEngine.Files;

/// <summary>Which .NET type holds which <see cref="ElementType"/>.</summary>
internal static class ElementTypes
{
    /// <summary>The element type that <typeparamref name="T"/> stores.</summary>
    /// <exception cref="NotSupportedException">None does.</exception>
    public static ElementType Of<T>()
        where T : unmanaged
    {
        if (typeof(T) == typeof(float))
            return ElementType.Float32;
        if (typeof(T) == typeof(double))
            return ElementType.Float64;
        if (typeof(T) == typeof(Half))
            return ElementType.Float16;
        if (typeof(T) == typeof(bool))
            return ElementType.Boolean;
        if (typeof(T) == typeof(byte))
            return ElementType.UInt8;
        if (typeof(T) == typeof(sbyte))
            return ElementType.Int8;
        if (typeof(T) == typeof(ushort))
            return ElementType.UInt16;
        if (typeof(T) == typeof(short))
            return ElementType.Int16;
        if (typeof(T) == typeof(uint))
            return ElementType.UInt32;
        if (typeof(T) == typeof(int))
            return ElementType.Int32;
        if (typeof(T) == typeof(ulong))
            return ElementType.UInt64;
        if (typeof(T) == typeof(long))
            return ElementType.Int64;
        throw new NotSupportedException($"No element type is stored as {typeof(T)}.");
    }
}
